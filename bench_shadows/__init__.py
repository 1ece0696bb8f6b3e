"""Did the data make a model broad, or did it only make it score?

A JAX reimplementation of *Benchmark Shadows* (arXiv 2604.07363): train one decoder under data conditions,
read the spectra of its weights, report what held.
"""

__version__ = "0.1.0"
