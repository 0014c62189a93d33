"""Frames and boxes in and out: video, images, box files, drawing.

Nothing here knows of the tracker.
"""
