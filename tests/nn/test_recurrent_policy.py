"""A recurrent policy of reinforcement learning: rollouts (L, B) of several episodes, with done flags as resets.

The reference is torch's GRU on each episode by itself, in a loop that splits the rollouts.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import throughtime as tt

STEPS, STREAMS, OBSERVED, ACTIONS, HIDDEN = 30, 5, 4, 3, 6


class Policy(nn.Module):
    """Logits of actions and values of states."""

    def __init__(self, memory: nn.Module) -> None:
        super().__init__()
        self.memory = memory
        self.actor, self.critic = nn.Linear(HIDDEN, ACTIONS), nn.Linear(HIDDEN, 1)

    def heads(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(h), self.critic(h).squeeze(-1)


class Corridor:
    """Streams of episodes of random lengths; the reward is for the action that the first observation named."""

    def __init__(self) -> None:
        self.random = torch.Generator().manual_seed(3)
        self.left, self.wanted = torch.zeros(STREAMS).long(), torch.zeros(STREAMS).long()

    def observe(self) -> tuple[Tensor, Tensor]:
        """Return observations (B, 4) and whether they are the first of an episode."""
        first = self.left == 0
        new = torch.randint(1, 12, (STREAMS,), generator=self.random)
        wanted = torch.randint(ACTIONS, (STREAMS,), generator=self.random)
        self.left = torch.where(first, new, self.left)
        self.wanted = torch.where(first, wanted, self.wanted)
        hint = functional.one_hot(self.wanted, ACTIONS) * first[:, None]
        noise = torch.randn(STREAMS, 1, generator=self.random)
        return torch.cat((hint, noise), 1).double(), first

    def reward(self, action: Tensor) -> Tensor:
        self.left = self.left - 1
        return (action == self.wanted).double()


class Rollout:
    """What acting for so many steps leaves, each (L, B, …), and the state before."""

    def __init__(self, policy: Policy, world: Corridor, state: Tensor | None) -> None:
        self.start = state
        rows = []
        with torch.no_grad():
            for _ in range(STEPS):
                x, first = world.observe()
                h, state = policy.memory.step(x, state, reset=first)
                logits, _ = policy.heads(h)
                action = torch.multinomial(logits.softmax(-1), 1, generator=world.random)[:, 0]
                rows.append((x, first, logits, action, world.reward(action)))
        self.x, self.first, self.logits, self.action, self.reward = map(torch.stack, zip(*rows, strict=True))
        self.end = state

    def returns(self) -> Tensor:
        """Discounted rewards until the end of an episode or of the rollout."""
        total, returns = torch.zeros(STREAMS).double(), []
        for t in range(STEPS - 1, -1, -1):
            total = self.reward[t] + 0.9 * total
            returns.append(total)
            total = total * ~self.first[t]
        return torch.stack(returns[::-1])


def _loss(logits: Tensor, values: Tensor, action: Tensor, returns: Tensor) -> Tensor:
    """Advantage actor-critic, summed over steps."""
    logs = logits.log_softmax(-1)
    chosen = logs.gather(-1, action[..., None]).squeeze(-1)
    advantage = (returns - values).detach()
    entropy = -(logs.exp() * logs).sum(-1)
    return (-advantage * chosen + 0.5 * (returns - values).square() - 0.01 * entropy).sum()


def _loss_episode_by_episode(policy: Policy, rollout: Rollout) -> Tensor:
    memory = nn.GRU(OBSERVED, HIDDEN).double()
    for name, parameter in policy.memory.named_parameters():
        delattr(memory, name)
        setattr(memory, name, parameter)
    memory._flat_weights = [getattr(memory, name) for name in memory._flat_weights_names]
    total, returns = torch.zeros(()).double(), rollout.returns()
    for b in range(STREAMS):
        begins = sorted({0, *rollout.first[:, b].nonzero().flatten().tolist()})
        for begin, end in zip(begins, [*begins[1:], STEPS], strict=True):
            continues = rollout.start is not None and not rollout.first[begin, b]
            h, _ = memory(rollout.x[begin:end, b], rollout.start[:, b] if continues else None)
            total = total + _loss(*policy.heads(h), rollout.action[begin:end, b], returns[begin:end, b])
    return total


@pytest.mark.parametrize("whole", [True, False], ids=["one call", "step by step"])
def test_the_policy_gradient_is_that_of_each_episode_by_itself(whole: bool) -> None:
    torch.manual_seed(0)
    policy, world, state = Policy(tt.nn.GRU(OBSERVED, HIDDEN)).double(), Corridor(), None
    for _ in range(2):  # the second rollout begins within episodes
        rollout = Rollout(policy, world, state)
        state = rollout.end
        if whole:
            h, end = policy.memory(rollout.x, rollout.start, reset=rollout.first)
        else:
            end, steps = rollout.start, []
            for x, first in zip(rollout.x, rollout.first, strict=True):
                h_t, end = policy.memory.step(x, end, reset=first)
                steps.append(h_t)
            h = torch.stack(steps)
        logits, values = policy.heads(h)
        torch.testing.assert_close(logits, rollout.logits)  # training sees what acting saw
        torch.testing.assert_close(end, state)
        found = _loss(logits, values, rollout.action, rollout.returns())
        expected = _loss_episode_by_episode(policy, rollout)
        torch.testing.assert_close(found, expected)
        parameters = list(policy.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters)
        )
        assert 0.05 < rollout.first.double().mean() < 0.5
