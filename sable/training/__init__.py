"""The trainer: rollouts, advantages, losses and PPO."""
