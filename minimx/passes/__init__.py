"""The compile passes: each module has one public function from graph to graph (or to what the next room needs)."""
