"""The code behind the course "From LM to LLM". This docstring is the map; importing the package loads nothing heavy.

Data flows one way, left to right, and an import never goes back:

    tensors, runtime, assets, recipes → data → models → quantization → adapters → training → evaluation → reporting

The notebooks, `checks` (exercise checkers) and `commands` (what `python -m course_utils …` runs) sit on top and may
use anything; nothing imports them.

    tensors      masked means, whitening, shape checks shared by all
    runtime      one decision about device, dtype, threads, seed and tier, with its reason; it asks `devices` (GPUs),
                 `machine` (cores, memory) and `places` (folders)
    assets       the pinned files: model, ratings, instructions; `pins` lists them, `downloads` fetches them,
                 `files` writes whole files or none
    recipes      every size in the course, one row per notebook and tier
    data         human-rated reviews and other corpora as datasets
    models       the base model, log-probabilities, sampling
    evaluation   accuracy, calibration, intervals
    reporting    claims, predictions, tables, plots, source code shown in a notebook
"""

__version__ = "0.1.0"
