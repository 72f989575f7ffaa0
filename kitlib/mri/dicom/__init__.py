"""Read one DICOM file safely: its header, the positions of its frames, and its pixels."""
