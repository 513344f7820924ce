"""New-word discovery: candidates from n-gram statistics, gates, scores and the report."""
