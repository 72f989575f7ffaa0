"""One DICOM file: its header, its frames' places, and its pixels, read safely."""
