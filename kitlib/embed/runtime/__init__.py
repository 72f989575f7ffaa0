"""What runs a network: torch or OpenVINO, fused, in half precision or eight bits."""
