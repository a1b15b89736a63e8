"""A policy learned by reinforcement: proximal policy optimisation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from otoscope.errors import MissingExtra
from otoscope.redteam.context import LENGTH, Context
from otoscope.redteam.space import Space
from otoscope.redteam.strategy import Bins, Strategy, Trial

if TYPE_CHECKING:
    import gymnasium
    from stable_baselines3 import PPO

ROLLOUT = 16
"""The policy learns from so many trials at a time."""

SETTINGS: dict[str, Any] = {
    "n_steps": ROLLOUT,
    "batch_size": ROLLOUT,
    "n_epochs": 10,
    "gae_lambda": 1.0,
    "ent_coef": 0.005,
    "learning_rate": 3e-3,
    "device": "cpu",
}


class ProximalPolicy(Strategy):
    """PPO (Schulman et al., 1707.06347) by stable-baselines3, on a policy that sees the context.

    Every axis is a categorical of its own. The policy is ``policy``, which it goes on learning
    from (``learned`` makes one), or a new one. Trials that it did not propose are passed over. One
    object serves one search.

    Raises ``MissingExtra`` without ``stable-baselines3``.
    """

    name: ClassVar[str] = "ppo"

    def __init__(self, space: Space, context: Context, policy: "PPO | None" = None) -> None:
        self.space, self.context, self.policy = space, context, policy
        self._pending: tuple[int, dict[str, Any]] | None = None
        _ppo()

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        with _seeded(rng):
            if self.policy is None:
                self.policy = _untrained(_shape(self.space))
            self._learn(self.policy, history)
            seen = torch.from_numpy(self.context.observed(history))[None]
            with torch.no_grad():
                action, value, log_prob = self.policy.policy(seen)
        self._pending = (
            len(history),
            {
                "obs": seen.numpy(),
                "action": action.numpy(),
                "episode_start": np.ones(1),
                "value": value.flatten(),
                "log_prob": log_prob,
            },
        )
        return self.space.clamp(action[0].tolist())

    def _learn(self, policy: "PPO", history: Sequence[Trial]) -> None:
        """Note what became of the last proposal; every ``ROLLOUT`` of them, improve the policy."""
        if self._pending is None:
            policy.rollout_buffer.reset()
            return
        number, step = self._pending
        reward = np.array([history[number].reward])
        buffer: Any = policy.rollout_buffer
        buffer.add(**step, reward=reward)
        if buffer.full:
            buffer.compute_returns_and_advantage(torch.zeros(1), np.ones(1))
            policy.policy.set_training_mode(True)
            policy.train()
            policy.policy.set_training_mode(False)
            buffer.reset()


def learned(
    environment: "gymnasium.Env[Any, Any]", steps: int, seed: int, discount: float = 0.0
) -> "PPO":
    """A policy trained on an environment of several contexts, to be tried on one it has not seen.

    ``steps`` are queries, at the environment's cost; rounded up to whole rollouts. ``discount`` is
    0 where every step is an episode (``PoisoningEnv``), 1 for schedules (``ScheduleEnv``).
    Raises ``MissingExtra`` without ``stable-baselines3``.
    """
    with _seeded(np.random.default_rng(seed)):
        environment.reset(seed=seed)
        environment.action_space.seed(seed)
        return _untrained(environment, discount).learn(steps)


def _untrained(environment: "gymnasium.Env[Any, Any]", discount: float = 0.0) -> "PPO":
    from stable_baselines3.common.logger import Logger

    made = _ppo()("MlpPolicy", environment, **SETTINGS | {"gamma": discount})
    made.set_logger(Logger(None, []))
    return made


def _shape(space: Space) -> "gymnasium.Env[Any, Any]":
    """An environment that only says how large observations and actions are."""
    import gymnasium

    class Shape(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(0.0, 1.0, (LENGTH,), np.float32)
        action_space = gymnasium.spaces.MultiDiscrete(np.array(space.sizes))

    return Shape()


def _ppo() -> "type[PPO]":
    try:
        from stable_baselines3 import PPO
    except ImportError:
        raise MissingExtra("stable-baselines3", "redteam", "PPO") from None
    return PPO


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Torch and numpy draw from ``rng`` inside this block, and as before after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - stable-baselines3 shuffles with it
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        np.random.seed(int(rng.integers(2**31)))  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
