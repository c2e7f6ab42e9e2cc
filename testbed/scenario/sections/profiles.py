"""Access networks by name: figures for a link entry's ``profile``, each with its published source.

A profile is one link of that kind and not the way behind it: what lies beyond the base station, the modem or
the ground station is the next tier's link. Figures are written as in a scenario and may be overridden there,
one by one. Where nobody publishes a figure that fits an emulated link it is a choice, and says so: above all
jitter, which is normally distributed here, while real access networks have long tails, and no loss where a
radio or a modem repeats what it lost, so that IP sees a later packet and not a missing one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from testbed.scenario.topology import Direction

CHOICE = "a choice"


@dataclass(frozen=True)
class Profile:
    """Figures in each direction, by key of a link entry, and where each comes from.

    Attributes:
        both: figures that hold in both directions.
        up: what differs towards the cloud.
        down: what differs towards the device.
        sources: by key, the publication with its year, or that it is a choice.
    """

    both: Mapping[str, str]
    up: Mapping[str, str]
    down: Mapping[str, str]
    sources: Mapping[str, str]

    def figures(self, direction: Direction) -> dict[str, str]:
        return {**self.both, **(self.up if direction == "up" else self.down)}


PROFILES: Mapping[str, Profile] = {
    "5g": Profile(
        both={"delay": "4ms", "jitter": "1ms", "loss": "0%"},
        up={"rate": "50mbit"},
        down={"rate": "100mbit"},
        sources={
            "rate": "Report ITU-R M.2410-0 (2017), 4.3: user experienced data rate, the 5th percentile in a "
            "dense city; a requirement on the radio, which a busy cell may miss",
            "delay": "Report ITU-R M.2410-0 (2017), 4.7.1: user plane latency of eMBB; also a requirement",
            "jitter": CHOICE,
            "loss": CHOICE,
        },
    ),
    "lte": Profile(
        both={"delay": "15ms", "jitter": "5ms", "loss": "0%"},
        up={"rate": "6mbit"},
        down={"rate": "13mbit"},
        sources={
            "rate": "Huang et al., A Close Examination of Performance and Power Characteristics of 4G LTE "
            "Networks, MobiSys 2012: medians of 13 and 6 Mbit/s over 3,000 users",
            "delay": "Ookla Speedtest Global Index, November 2021: 29 ms, the median round trip of mobile "
            "tests; half of it, rounded",
            "jitter": CHOICE,
            "loss": CHOICE,
        },
    ),
    "wifi": Profile(
        both={"rate": "65mbit", "delay": "1.5ms", "jitter": "0.5ms", "loss": "0%"},
        up={},
        down={},
        sources={
            "rate": "IEEE 802.11n (2009): one stream of 20 MHz at MCS 7 with a guard interval of 800 ns; to "
            "give it to each direction is a choice, since the air is shared by both",
            "delay": "Sui et al., Characterizing and Improving WiFi Latency in Large-Scale Operational "
            "Networks, MobiSys 2016: median of 3 ms for the round trip; half of it",
            "jitter": "a choice: the same study has 20 ms at the 90th percentile and 250 ms at the 99th, "
            "which no normal distribution has",
            "loss": CHOICE,
        },
    ),
    "dsl": Profile(
        both={"delay": "10ms", "jitter": "1ms", "loss": "0%"},
        up={"rate": "1.4mbit"},
        down={"rate": "24mbit"},
        sources={
            "rate": "Recommendation ITU-T G.992.5 (2003), ADSL2plus: up to 24 and 1.4 Mbit/s on a short line",
            "delay": "a choice: interleaving, which most lines have switched on, adds a delay of this order "
            "(Bajpai et al., Dissecting Last-mile Latency Characteristics, ACM CCR 47(5), 2017)",
            "jitter": CHOICE,
            "loss": CHOICE,
        },
    ),
    "fibre": Profile(
        both={"delay": "1.5ms", "jitter": "0ms", "loss": "0%"},
        up={"rate": "38mbit"},
        down={"rate": "77mbit"},
        sources={
            "rate": "Recommendation ITU-T G.984.2 (2003), GPON: 2,488 and 1,244 Mbit/s, shared by 32 homes "
            "that all send; 32 is a choice",
            "delay": "Recommendation ITU-T G.984.1 (2008), 11: maximum mean signal transfer delay",
            "jitter": CHOICE,
            "loss": CHOICE,
        },
    ),
    "satellite": Profile(
        both={"delay": "250ms", "jitter": "5ms", "loss": "0.1%"},
        up={"rate": "3mbit"},
        down={"rate": "25mbit"},
        sources={
            "rate": "FCC 2015 Broadband Progress Report: 25 and 3 Mbit/s, the least that counts as "
            "broadband; that a geostationary service gives just that is a choice",
            "delay": "RFC 2488 (1999), 2: about 250 ms over one geostationary hop, between 239.6 and 279.0",
            "jitter": CHOICE,
            "loss": "RFC 2488 (1999), 2: a bit error rate of 1e-7, so 0.12 % of full frames; rounded",
        },
    ),
}
