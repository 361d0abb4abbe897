"""An API key that is easy to find wherever it must not be."""

KEY = "tsn_test_canary_4f1d"
