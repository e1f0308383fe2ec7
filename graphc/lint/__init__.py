"""The linter: what is wrong with a loss and its gradients, told before anything runs.

| module       | what is there                                                              |
|--------------|----------------------------------------------------------------------------|
| `lint`       | `gc.lint`, and what `gc.grad` and `model.compile` warn of by themselves    |
| `finding`    | a finding and a list of them                                               |
| `subject`    | what is linted: a loss, its gradients and their ranges                     |
| `gradients`, `repairs`, `losses`, `chains`, `point` | the lints                           |
| `bounds`, `images`, `ranges` | interval analysis over a graph                             |
| `recognise`  | formulas found again: softmax, linear layers, cross-entropies              |
"""
