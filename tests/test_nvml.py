"""What the driver tells of a GPU, against a fake of NVML's binding; none of it has run on hardware."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pynvml
import pytest
from fake_nvml import FakeCard, FakeDriver

from reports.records.record import FIELD_NAMES
from scaleprof.cli.diagnosis import driver_figures
from scaleprof.probes import nvml as probe
from scaleprof.probes.gpu_phase import GpuPhase
from scaleprof.probes.nvml import FIELD_WORDS, NOT_LISTED, GpuReading, Nvml, load_nvml, throttle_names

NOT_SUPPORTED = pynvml.NVMLError_NotSupported()
LOST = pynvml.NVMLError_GpuIsLost()
TOO_OLD = pynvml.NVMLError_FunctionNotFound()
MISMATCH = pynvml.NVMLLibraryMismatchError("versions differ")

EVERY_FIGURE = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetComputeRunningProcesses_v2",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
    "nvmlDeviceGetTotalEnergyConsumption",
)

# The binding, and machines on which nothing can be read.


def test_every_name_is_one_of_the_binding() -> None:
    used = set(re.findall(r"module\.((?:nvml|NVML)\w+)", Path(probe.__file__).read_text(encoding="utf-8")))
    assert len(used) > 15
    assert [name for name in sorted(used) if not hasattr(pynvml, name)] == []


@pytest.mark.parametrize("name", [name for name in vars(FakeDriver) if name.startswith("nvml")])
def test_the_fake_is_called_as_the_binding_is(name: str) -> None:
    def must_be_given(function: Any) -> list[str]:
        parameters = inspect.signature(function).parameters.values()
        return [each.name for each in parameters if each.default is each.empty]

    assert must_be_given(getattr(FakeDriver(), name)) == must_be_given(getattr(pynvml, name))


def test_the_binding_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(load_nvml(), ModuleType)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def without_its_library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The real binding, where there is no libnvidia-ml.so."""

    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", missing)
    assert isinstance(pynvml, ModuleType)
    return pynvml


def expect_nothing(nvml: Nvml, reason: str) -> None:
    assert not nvml.available
    assert nvml.reason == reason
    assert nvml.process_bytes(1) is None
    assert nvml.device_names() == []
    assert nvml.uuid_of(0) is None
    assert nvml.index_of("GPU-1") is None
    for card in (None, 0, "GPU-1"):
        assert nvml.sample(1, card) == GpuReading()
        assert nvml.missing() == dict.fromkeys(GpuReading._fields, reason)
    assert list(driver_figures(nvml)) == [f"GPU figures by the driver (NVML): no: {reason}"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (None, "the package nvidia-ml-py is not installed"),
        (FakeDriver(FakeCard(), failing={"nvmlInit": pynvml.NVMLError_DriverNotLoaded()}), "Driver Not Loaded"),
        (FakeDriver(FakeCard(), failing={"nvmlDeviceGetCount": pynvml.NVMLError_Unknown()}), "Unknown Error"),
        (FakeDriver(FakeCard(), failing={"nvmlInit": ValueError()}), "ValueError"),
        (FakeDriver(FakeCard(failing={"nvmlDeviceGetHandleByIndex": LOST})), "GPU is lost"),
        (FakeDriver(), "the driver reports no GPU"),
    ],
    ids=["no package", "no driver", "broken driver", "broken binding", "lost card", "no card"],
)
def test_nothing_to_ask(module: Any, reason: str) -> None:
    expect_nothing(Nvml(module), reason)


def test_the_binding_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(without_its_library(monkeypatch))
    expect_nothing(nvml, "NVML Shared Library Not Found")
    assert nvml.describe() == []
    assert nvml.card({"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) is None


# One look.


def test_every_figure_of_a_card() -> None:
    card = FakeCard(
        processes=[(5, 70), (6, 1000)],
        used=2000,
        utilisation=37,
        milliwatts=123_456,
        mhz=1500,
        reasons=pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonHwSlowdown,
        millijoules=5_500,
    )
    nvml = Nvml(FakeDriver(card))
    assert nvml.available
    assert nvml.card_count == 1
    assert nvml.sample(5) == GpuReading(
        process_bytes=70,
        device_bytes=2000,
        utilisation_percent=37.0,
        power_watts=123.456,
        sm_clock_mhz=1500.0,
        throttle_reasons=("power cap", "hardware slowdown"),
        energy_joules=5.5,
    )
    assert nvml.missing() == {}


def test_zeros_that_are_answers() -> None:
    nvml = Nvml(FakeDriver(FakeCard(processes=[(5, 1)], utilisation=0, milliwatts=0, mhz=0)))
    reading = nvml.sample(5)
    assert (reading.utilisation_percent, reading.power_watts, reading.sm_clock_mhz) == (0.0, 0.0, 0.0)
    assert reading.throttle_reasons == ()
    assert nvml.missing() == {}


@pytest.mark.parametrize(
    ("cards", "used"),
    [
        ([[(5, 70), (6, 1000)]], 70),
        ([[(6, 1000)]], None),
        ([[]], None),
        ([[(5, None)]], None),
        ([[(5, 0)]], None),
        ([[(5, 70)], [(5, 30), (6, 1000)]], 100),
        ([[(5, None)], [(5, 30)]], 30),
        ([[(5, 70), (5, 7)]], 77),
        ([LOST], None),
        ([LOST, [(5, 30)]], 30),
    ],
)
def test_memory_of_a_process_over_the_cards(cards: list[Any], used: int | None) -> None:
    nvml = Nvml(FakeDriver(*(lost_list() if card is LOST else FakeCard(processes=card) for card in cards)))
    assert nvml.available
    assert nvml.process_bytes(5) == used
    assert nvml.sample(5).process_bytes == used
    assert ("process_bytes" in nvml.missing()) == (used is None)


def lost_list() -> FakeCard:
    """A card whose list of processes cannot be read."""
    return FakeCard(failing=dict.fromkeys(EVERY_FIGURE[:2], LOST))


@pytest.mark.parametrize(
    ("processes", "reason"),
    [
        ([(40_005, 70)], NOT_LISTED),
        ([], NOT_LISTED),
        ([(5, None)], "usedGpuMemory is not available for the process"),
        ([(5, 0)], "usedGpuMemory is 0: the driver does not count it"),
    ],
    ids=["foreign pid namespace", "empty list", "None", "0"],
)
def test_why_there_is_no_process_memory(processes: list[tuple[int, int | None]], reason: str) -> None:
    nvml = Nvml(FakeDriver(FakeCard(processes=processes, used=2000)))
    reading = nvml.sample(5)
    assert reading.process_bytes is None
    assert reading.device_bytes == 2000
    assert nvml.missing() == {"process_bytes": reason}


def test_a_divided_card_says_nothing_of_its_utilisation() -> None:
    reading = (nvml := Nvml(FakeDriver(FakeCard(mig=True, processes=[(5, 70), (5, 30)])))).sample(5)
    assert reading.utilisation_percent is None
    assert reading.process_bytes == 100
    assert nvml.missing() == {"utilisation_percent": "MIG mode reports no utilisation"}


@pytest.mark.parametrize("mig", [None, False], ids=["no MIG", "MIG off"])
def test_a_card_that_is_not_divided(mig: bool | None) -> None:
    card = FakeCard(mig=mig, processes=[(5, 70)], failing={"nvmlDeviceGetUtilizationRates": NOT_SUPPORTED})
    nvml = Nvml(FakeDriver(card))
    assert nvml.sample(5).utilisation_percent is None
    assert nvml.missing() == {"utilisation_percent": "this card reports no utilisation"}


@pytest.mark.parametrize("error", [NOT_SUPPORTED, LOST, TOO_OLD, MISMATCH, AttributeError("no such function")], ids=str)
def test_no_error_of_any_call_gets_out(error: Exception) -> None:
    names = [name for name in vars(FakeDriver) if name.startswith("nvmlDevice")]
    assert set(EVERY_FIGURE) < set(names)
    opening = {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"}
    nvml = Nvml(FakeDriver(FakeCard(failing=dict.fromkeys(set(names) - opening, error))))
    assert nvml.available
    assert nvml.sample(5) == GpuReading()
    reasons = nvml.missing()
    assert list(reasons) == list(GpuReading._fields) == list(FIELD_WORDS)
    for field, reason in reasons.items():
        assert reason == (f"this card reports no {FIELD_WORDS[field]}" if error is NOT_SUPPORTED else str(error))
    assert nvml.device_names() == []
    assert nvml.uuid_of(0) is None
    unknown = {"name": None, "uuid_hash": None, "memory_bytes": None, "max_sm_clock_mhz": None}
    assert nvml.describe() == [{**unknown, "driver": "570.12"}]


def test_an_older_driver_has_older_names() -> None:
    older = {"nvmlDeviceGetComputeRunningProcesses": MISMATCH, "nvmlDeviceGetCurrentClocksEventReasons": TOO_OLD}
    card = FakeCard(processes=[(5, 70)], reasons=pynvml.nvmlClocksThrottleReasonSwPowerCap, failing=older)
    nvml = Nvml(FakeDriver(card))
    reading = nvml.sample(5)
    assert (reading.process_bytes, reading.throttle_reasons) == (70, ("power cap",))
    assert nvml.missing() == {}


@pytest.mark.parametrize(
    ("constant", "words"),
    [
        ("None", ()),
        ("GpuIdle", ()),
        ("ApplicationsClocksSetting", ("application clocks",)),
        ("SwPowerCap", ("power cap",)),
        ("HwSlowdown", ("hardware slowdown",)),
        ("SyncBoost", ("sync boost",)),
        ("SwThermalSlowdown", ("thermal slowdown",)),
        ("HwThermalSlowdown", ("hardware thermal slowdown",)),
        ("HwPowerBrakeSlowdown", ("hardware power brake",)),
        ("DisplayClockSetting", ("display clocks",)),
        ("BoardLimit", ("board limit",)),
        ("Reliability", ("reliability",)),
    ],
)
def test_why_clocks_are_held_down(constant: str, words: tuple[str, ...]) -> None:
    assert throttle_names(getattr(pynvml, f"nvmlClocksThrottleReason{constant}")) == words


def test_every_reason_of_the_binding_has_a_name() -> None:
    assert not [name for name in throttle_names(pynvml.nvmlClocksThrottleReasonAll) if name.startswith("reason")]
    assert throttle_names(0x8000 | pynvml.nvmlClocksEventReasonGpuIdle) == ("reason 0x8000",)


# Which card.

FAST = "GPU-ffff0000-1111"
SLOW = "GPU-ffff2222-3333"


def two_cards() -> FakeDriver:
    """The slow card sits on the first bus; CUDA, left alone, counts the fast one first."""
    return FakeDriver(
        FakeCard(name=b"Slow Card", uuid=SLOW.encode(), processes=[(5, 10), (9, 3)], used=100),
        FakeCard(name="Fast Card", uuid=FAST, processes=[(5, 60)], used=700),
    )


def test_two_cards_are_told_apart_by_uuid() -> None:
    nvml = Nvml(two_cards())
    assert nvml.device_names() == ["Slow Card", "Fast Card"]
    assert [nvml.uuid_of(index) for index in (-1, 0, 1, 2)] == [None, SLOW, FAST, None]
    for uuid, index, used, in_use in ((SLOW, 0, 10, 100), (FAST, 1, 60, 700)):
        assert nvml.index_of(uuid) == index
        by_uuid = nvml.sample(5, uuid)
        assert (by_uuid.process_bytes, by_uuid.device_bytes) == (used, in_use)
        assert nvml.missing() == {}
        assert nvml.sample(5, index) == by_uuid


@pytest.mark.parametrize("short", ["GPU-ffff2", "GPU-ffff2222"])
def test_the_beginning_of_a_uuid_is_enough(short: str) -> None:
    assert Nvml(two_cards()).index_of(short) == 0


@pytest.mark.parametrize("unclear", ["", "GPU-", "GPU-ffff", "GPU-ffff2222-3333-4", "MIG-ffff2222"])
def test_a_uuid_that_means_no_card(unclear: str) -> None:
    nvml = Nvml(two_cards())
    assert nvml.index_of(unclear) is None
    assert nvml.sample(5, unclear) == GpuReading()
    assert set(nvml.missing().values()) == {"the driver knows no card with the chosen UUID"}


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_that_means_no_card(index: int) -> None:
    nvml = Nvml(two_cards())
    assert nvml.sample(5, index) == GpuReading()
    assert set(nvml.missing().values()) == {f"there is no card {index}: the driver counts 2, from 0"}


def test_several_cards_and_no_choice() -> None:
    nvml = Nvml(two_cards())
    assert nvml.sample(5) == GpuReading(process_bytes=70)
    reason = "the driver knows 2 cards, and it is unclear which one is measured"
    assert nvml.missing() == dict.fromkeys(GpuReading._fields[1:], reason)


IN_BUS_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.parametrize(
    ("environment", "index"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": "0"}, None),
        (IN_BUS_ORDER, 0),
        ({"CUDA_VISIBLE_DEVICES": "1", **IN_BUS_ORDER}, 1),
        ({"CUDA_VISIBLE_DEVICES": " 1,0", **IN_BUS_ORDER}, 1),
        ({"CUDA_VISIBLE_DEVICES": "2", **IN_BUS_ORDER}, None),
        ({"CUDA_VISIBLE_DEVICES": "-1", **IN_BUS_ORDER}, None),
        ({"CUDA_VISIBLE_DEVICES": "", **IN_BUS_ORDER}, None),
        ({"CUDA_VISIBLE_DEVICES": FAST}, 1),
        ({"CUDA_VISIBLE_DEVICES": f"{FAST},{SLOW}"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "GPU-ffff2"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "MIG-ffff2"}, None),
    ],
)
def test_the_first_card_that_a_process_sees(environment: dict[str, str], index: int | None) -> None:
    assert Nvml(two_cards()).card(environment) == index


def test_the_only_card_is_the_first_in_any_order() -> None:
    nvml = Nvml(FakeDriver(FakeCard()))
    assert nvml.card({}) == nvml.card({"CUDA_VISIBLE_DEVICES": "0"}) == 0
    assert nvml.card({"CUDA_VISIBLE_DEVICES": ""}) is None


def test_a_lost_card_leaves_the_others_their_numbers() -> None:
    driver = two_cards()
    driver.cards[0].failing["nvmlDeviceGetHandleByIndex"] = LOST
    nvml = Nvml(driver)
    assert nvml.available
    assert nvml.card_count == 2
    assert nvml.device_names() == ["Fast Card"]
    assert nvml.index_of(FAST) == 1
    assert nvml.sample(5, 0) == GpuReading()
    assert set(nvml.missing().values()) == {"GPU is lost"}
    assert nvml.sample(5, 1).device_bytes == 700
    assert nvml.missing() == {}
    assert [card["name"] for card in nvml.describe()] == [None, "Fast Card"]


def test_what_a_run_says_of_its_cards() -> None:
    slow, fast = Nvml(two_cards()).describe()
    assert {name: value for name, value in slow.items() if name != "uuid_hash"} == {
        "name": "Slow Card",
        "driver": "570.12",
        "memory_bytes": 80 * 2**30,
        "max_sm_clock_mhz": 1980,
    }
    assert re.fullmatch("[0-9a-f]{12}", slow["uuid_hash"])
    assert slow["uuid_hash"] != fast["uuid_hash"]
    assert slow["uuid_hash"] == Nvml(FakeDriver(FakeCard(uuid=SLOW))).describe()[0]["uuid_hash"]
    assert "ffff" not in str(slow)


# A point.


def test_what_a_point_comes_to() -> None:
    card = FakeCard(processes=[(5, 40)], used=900, utilisation=10, milliwatts=50_000, mhz=300, millijoules=1_000)
    card.reasons = pynvml.nvmlClocksEventReasonSyncBoost
    nvml, phase = Nvml(FakeDriver(card)), GpuPhase()
    phase.add(nvml.sample(5), measured=False)
    card.processes, card.used, card.reasons, card.millijoules = [(5, 30)], 800, 0x4, 7_000
    card.utilisation, card.milliwatts, card.mhz = 80, 200_000, 1_500
    phase.add(nvml.sample(5), measured=True)
    card.reasons, card.millijoules, card.utilisation, card.milliwatts, card.mhz = 0x24, 9_000, 90, 300_000, 1_400
    phase.add(nvml.sample(5), measured=True)
    card.processes, card.used, card.reasons, card.millijoules = [], 100, 0x1, 20_000
    phase.add(nvml.sample(5), measured=False)
    assert phase.fields() == {
        "nvml_process_bytes": 40,
        "nvml_device_bytes": 900,
        "nvml_utilisation_percent": 85.0,
        "nvml_power_watts": 250.0,
        "nvml_sm_clock_mhz": 1450.0,
        "nvml_throttle_reasons": "power cap, thermal slowdown",
        "nvml_energy_joules": 2.0,
    }


def test_columns_are_those_of_a_record() -> None:
    columns = [name for name in FIELD_NAMES if name.startswith("nvml_")]
    assert list(GpuPhase().fields()) == columns


NOTHING = {**dict.fromkeys(GpuPhase().fields()), "nvml_throttle_reasons": ""}


@pytest.mark.parametrize("readings", [[], [GpuReading()], [GpuReading(), GpuReading()]], ids=len)
def test_a_point_of_which_nothing_is_known(readings: list[GpuReading]) -> None:
    phase = GpuPhase()
    for reading in readings:
        phase.add(reading, measured=True)
    assert phase.fields() == NOTHING


def test_a_point_that_never_came_to_its_measured_phase() -> None:
    nvml, phase = Nvml(FakeDriver(FakeCard(processes=[(5, 40)], used=900))), GpuPhase()
    phase.add(nvml.sample(5), measured=False)
    assert phase.fields() == {**NOTHING, "nvml_process_bytes": 40, "nvml_device_bytes": 900}


def test_a_spike_between_two_readings_is_not_seen() -> None:
    card = FakeCard(processes=[(5, 30)], used=300)
    nvml, phase = Nvml(FakeDriver(card)), GpuPhase()
    phase.add(nvml.sample(5), measured=True)
    card.processes, card.used = [(5, 9_000)], 90_000
    card.processes, card.used = [(5, 20)], 200
    phase.add(nvml.sample(5), measured=True)
    assert phase.fields()["nvml_process_bytes"] == 30
    assert phase.fields()["nvml_device_bytes"] == 300


def test_a_phase_without_throttling_says_so() -> None:
    nvml, phase = Nvml(FakeDriver(FakeCard(reasons=pynvml.nvmlClocksEventReasonGpuIdle))), GpuPhase()
    phase.add(nvml.sample(5), measured=True)
    assert phase.fields()["nvml_throttle_reasons"] == "none"


@pytest.mark.parametrize(
    ("counters", "used"),
    [
        ([1.0, 3.5, 7.0], 6.0),
        ([1.0, None, 7.0], 6.0),
        ([None, 3.5, 7.0], None),
        ([1.0, 3.5, None], None),
        ([None, None], None),
        ([4.0], None),
        ([4.0, 4.0], None),
        ([4.0, 1.0], None),
    ],
    ids=["counts", "a gap", "late", "lost", "none", "one reading", "stands still", "started anew"],
)
def test_energy_is_the_counters_difference(counters: list[float | None], used: float | None) -> None:
    phase = GpuPhase()
    phase.add(GpuReading(energy_joules=0.5), measured=False)
    for counter in counters:
        phase.add(GpuReading(energy_joules=counter), measured=True)
    phase.add(GpuReading(energy_joules=99.0), measured=False)
    assert phase.fields()["nvml_energy_joules"] == used


def test_a_card_without_an_energy_counter() -> None:
    card = FakeCard(processes=[(5, 40)], failing={"nvmlDeviceGetTotalEnergyConsumption": NOT_SUPPORTED})
    nvml, phase = Nvml(FakeDriver(card)), GpuPhase()
    for _ in range(2):
        phase.add(nvml.sample(5), measured=True)
    assert nvml.missing() == {"energy_joules": "this card reports no energy"}
    assert phase.fields()["nvml_energy_joules"] is None
    assert phase.fields()["nvml_power_watts"] == 250.0


def test_a_driver_that_breaks_in_the_middle() -> None:
    """What was seen before stays; the energy of half a phase is not given as that of the whole."""
    card = FakeCard(processes=[(5, 40)], used=900, reasons=0x4)
    nvml, phase = Nvml(FakeDriver(card)), GpuPhase()
    for card.millijoules in (1_000, 2_000):
        phase.add(nvml.sample(5), measured=True)
    card.failing.update(dict.fromkeys(EVERY_FIGURE, LOST))
    phase.add(nvml.sample(5), measured=True)
    assert nvml.missing() == dict.fromkeys(GpuReading._fields, "GPU is lost")
    assert phase.fields() == {
        "nvml_process_bytes": 40,
        "nvml_device_bytes": 900,
        "nvml_utilisation_percent": 90.0,
        "nvml_power_watts": 250.0,
        "nvml_sm_clock_mhz": 1700.0,
        "nvml_throttle_reasons": "power cap",
        "nvml_energy_joules": None,
    }


# What `scaleprof doctor` says.


def test_doctor_says_what_can_be_read_and_why_the_rest_cannot() -> None:
    whole = FakeCard()
    divided = FakeCard(mig=True, uuid="GPU-2", failing={"nvmlDeviceGetTotalEnergyConsumption": NOT_SUPPORTED})
    lost = FakeCard(failing={"nvmlDeviceGetHandleByIndex": LOST})
    listed = "process memory (if the driver lists the process: in a container it may not)"
    assert list(driver_figures(Nvml(FakeDriver(whole, divided, lost)))) == [
        "GPU figures by the driver (NVML): yes: New Card, New Card",
        f"  card 0: yes: {listed}, memory in use, utilisation, power, SM clock, throttle reasons, energy",
        f"  card 1: yes: {listed}, memory in use, power, SM clock, throttle reasons",
        "  card 1: no utilisation: MIG mode reports no utilisation",
        "  card 1: no energy: this card reports no energy",
        f"  card 2: no {', '.join(FIELD_WORDS.values())}: GPU is lost",
    ]
