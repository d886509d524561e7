"""The code behind the course "From LM to LLM". This docstring is the map; importing the package loads nothing heavy.

Data flows one way, left to right, and an import never goes back:

    tensors, runtime, assets, recipes → engine → data → text → models → quantization → adapters → training
                                                                  → evaluation → judging → experiments → reporting

The notebooks, `checks` (exercise checkers), `setup` (environments, the first cell) and `commands` (what
`python -m course_utils …` runs) sit on top and may use anything; nothing imports them.

    tensors      masked means, whitening, shape checks shared by all
    runtime      one decision about device, dtype, threads, seed and tier, with its reason; it asks `devices` (GPUs),
                 `machine` (cores, memory) and `folders` (where things are kept)
    assets       the model, the ratings, the instructions; `pinned_files` lists them, `downloads` fetches them,
                 `files` writes whole files or none, `records` lists of results
    recipes      every size in the course, one row per notebook and tier, of the kinds in `recipe_kinds`
    engine       what carries a run: the one gradient loop, checkpoints, resuming, stages that are read back
    data         human-rated reviews, instructions and questions as datasets
    text         raw text on its way to a model: a corpus, quality, copies, private data, tokens
    models       the base model, a transformer by hand, n-grams, log-probabilities, packed rows, sampling
    quantization weights in fewer bits, by hand and through libraries
    adapters     five ways to tune a fraction of a model, by hand and through peft
    training     what is taught: objectives, SFT, the reward model, PPO and its parts, DPO, QLoRA
    evaluation   accuracy, calibration, preference, intervals
    judging      prompts, exams, old measures, bought tests, rankings, models as judges; what fools each
    experiments  a module for each `python -m course_utils run NAME`
    reporting    claims, predictions, tables, plots, source code shown in a notebook
"""

__version__ = "0.1.0"
__pythons__ = ((3, 11), (3, 13))  # oldest and newest, as requires-python in pyproject.toml says; a test compares
