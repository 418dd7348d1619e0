"""What check.py writes for a model, as report.py and check.py's latencies read it."""

# Likeness of outputs from which on a recipe is one that a user might settle for.
NEAR_COSINE, NEAR_DISTANCE = 0.99, 0.05


def is_single(result):
    """Whether the scored output is one number, of which a cosine says nothing."""
    return any(entry.get("oracle", {}).get("outputs") == 1 for entry in result["recipes"].values())


def is_near(entry, single):
    """Whether a recipe was applied and its outputs stay near the original's."""
    said = entry.get("oracle", {})
    if "refusal" in entry:
        return False
    return (said.get("distance") is not None and said["distance"] <= NEAR_DISTANCE) if single else said.get("cosine", 0) >= NEAR_COSINE


def failures(result):
    """Everything that went wrong with a model: what concerns all recipes, then recipe by recipe."""
    return result.get("failures", []) + [failure for entry in result["recipes"].values() for failure in entry.get("failures", [])]
