"""What every test of the project can ask for; fixtures of one room live beside its tests."""

pytest_plugins = ["tests.cluster.fixtures", "tests.prometheus"]
