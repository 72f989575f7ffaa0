"""From DICOM to rows, study by study."""
