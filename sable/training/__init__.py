"""Training: rollouts, advantages, losses, PPO and the trainer."""
