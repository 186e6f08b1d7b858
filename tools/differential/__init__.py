"""Random and hand-written kernels on a device, against an evaluator of the ISA manual and a GPU's answers.

``python -m tools.differential`` from the repository's root; ``--help`` says what it can do.

``forms`` and the modules beside it hold one row for each form of an instruction: its text and a function that
computes its results, written after the PTX ISA manual with Python's integers and knowing nothing of the
CPU device. ``generate`` puts forms together to kernels, ``cuda_c`` writes kernels in CUDA C, ``execute`` runs
them with PyCUDA, and ``answers`` keeps what a device answered.
"""
