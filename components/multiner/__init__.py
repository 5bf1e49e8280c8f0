"""Multilingual named entity recognition: a spaCy component on Hugging Face encoders."""
