"""A world of logs to try Lapse on, without a server: `build_world` makes it, `steps` shows what to do in it."""

from lapse.demo.steps import ENDING, DemoStep, steps
from lapse.demo.world import World, build_world, open_world

__all__ = ["ENDING", "DemoStep", "World", "build_world", "open_world", "steps"]
