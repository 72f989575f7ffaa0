"""From DICOM to rows, study by study: fold models of any inputs, blended, with a rung for every row."""
