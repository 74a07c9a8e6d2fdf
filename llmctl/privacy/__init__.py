"""What must not leave, what must not come back: detectors, placeholders, judged answers."""
