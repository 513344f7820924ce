"""Lexicons: dictionary files, their re-estimation from text, and segmentation with them."""
