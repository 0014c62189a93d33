"""A tracker over benchmarks: runs, result files, official measures, tables and plots.

A plan (`plan`) says which tracker runs over which sequences of a benchmark (`benchmarks`) by
which protocol (`protocols`, `vot_runs`). `execution` tracks, with `runner` or `batched`, and
leaves files (`results`, `vot_files`). `reports` reads them back, turns them into numbers
(`metrics`, `measures`, `vot_measures`, `bootstrap`) and shows these (`tables`, `plots`,
`html_report`). `opencv_trackers` are the peers, `adapters` put our tracker into other kits,
`tuning` chooses settings on validation sets.
"""
