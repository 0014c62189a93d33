"""A tracker over benchmarks: runs, result files, official measures, tables and plots.

`benchmarks` is the table of benchmarks, `protocols` the ways to run them, `runner` and
`batched` run, `metrics` and `vot_measures` count, `reports`, `plots` and `html_report` show.
`opencv_trackers` are the peers, `adapters` put our tracker into other kits, `tuning` chooses
settings on validation sets.
"""
