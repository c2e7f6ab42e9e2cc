"""What is asked of a model, and what a right answer is: a module for each kind of task.

To add a kind, derive from :class:`Task` in a new module here, or in a file of your own that the scenario
names as ``file.py:Class``. A kind's template is applied inside a tier; answers are judged on the host.
"""

from tiers.tasks.base import TASKS, Scorer, Task, Template, check_template, fill, make_task, scorer_of

__all__ = ["TASKS", "Scorer", "Task", "Template", "check_template", "fill", "make_task", "scorer_of"]
