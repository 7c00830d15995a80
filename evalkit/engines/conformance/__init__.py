"""The conformance suite: what every engine is held to, with random weights.

    from evalkit.engines.conformance import assert_conforms, prepare

    def test_it_conforms(tmp_path):
        example = MyEngine.example(tmp_path, seed=0)
        assert_conforms(lambda: prepare(MyEngine(), example), example)

docs/engines/writing.md says what each check holds.
"""

from evalkit.engines.conformance.findings import Finding
from evalkit.engines.conformance.preparing import prepare
from evalkit.engines.conformance.suite import CHECKS, assert_conforms, check

__all__ = ["CHECKS", "Finding", "assert_conforms", "check", "prepare"]
