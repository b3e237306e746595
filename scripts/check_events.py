"""Reads the event files of a run as TensorBoard does, and checks them against
`metrics.jsonl`: one value an epoch, also after a resume.

    python3 -m venv venv && venv/bin/pip install tensorboard
    venv/bin/python scripts/check_events.py RUN

`cargo test` does so with the Python of RECSYS_TENSORBOARD_PYTHON, else with
that of ~/.cache/recsys/tb-venv.
"""

import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from run_curves import curves


def main():
    run = Path(sys.argv[1])
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    wanted, _, epochs = curves(run)
    tags = events.Tags()
    assert sorted(tags["scalars"]) == sorted(wanted), (tags["scalars"], sorted(wanted))
    for tag, points in wanted.items():
        read = [(e.step, e.value) for e in events.Scalars(tag)]
        assert [s for s, _ in read] == [s for s, _ in points], (tag, read, points)
        for (_, a), (_, b) in zip(read, points):
            assert abs(a - b) <= 1e-6 * max(1.0, abs(b)), (tag, a, b)
    text = events.Tensors("config/text_summary" if "config/text_summary" in tags["tensors"] else "config")
    config = text[0].tensor_proto.string_val[0].decode()
    assert (run / "config.toml").read_text() in config
    files = sorted(run.glob("events.out.tfevents.*"))
    print(f"{run}: {len(wanted)} curves of {epochs} epochs in {len(files)} files agree")


if __name__ == "__main__":
    main()
