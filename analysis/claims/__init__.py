"""Claims of the paper and of its critique, with verdicts by rules that were fixed before any run."""

from analysis.claims.claim import Claim, Family, Verdict
from analysis.claims.evaluation import REGISTRY, effects, evaluate, table
from analysis.claims.judgement import Result

__all__ = ["REGISTRY", "Claim", "Family", "Result", "Verdict", "effects", "evaluate", "table"]
