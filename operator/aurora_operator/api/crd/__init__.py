"""The CustomResourceDefinitions, written from the models. Nothing imports it but its own program and tests."""
