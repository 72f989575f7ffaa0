"""Where the levels are: landmarks found in any study, carried from plane to plane, cropped and audited."""
