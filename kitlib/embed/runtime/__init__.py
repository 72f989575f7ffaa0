"""Inference engines: torch or OpenVINO, with fused layers, in half precision or eight bits."""
