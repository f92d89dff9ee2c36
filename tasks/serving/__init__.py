"""A registered model behind HTTP: requests checked against its schema, predictions logged, a challenger in its shadow."""
