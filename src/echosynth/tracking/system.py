"""How busy the machine is during a run: processor, memory, disk, network and, where MLflow can ask them, GPUs."""

import threading
from contextlib import suppress

PREFIX = "system/"  # of the metrics' names
EVERY_SECONDS = 10.0  # unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says otherwise


class SystemMetrics:
    """Samples until it is stopped, in a thread that only reads: what it found is logged by whoever calls `take`, so
    that it neither slows a training nor outlives it. What a machine does not tell is left out."""

    def __init__(self, run_id: str, uri: str) -> None:
        """Start.

        Args:
            run_id: the run for which this is.
            uri: tracking URI of its store.
        """
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(run_id, sampling_interval=EVERY_SECONDS, tracking_uri=uri)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._sample, name="system metrics", daemon=True)
        self._thread.start()

    def take(self, *, last: bool = False) -> dict[str, float]:
        """Means since the last call, "system/..." -> number; empty when nothing was sampled since.

        Args:
            last: the run ends; one that was too short for a sample gets one now.
        """
        with self._lock, suppress(Exception):
            if last and not any(monitor.metrics for monitor in self._monitor.monitors):
                self._monitor.collect_metrics()
            return {f"{PREFIX}{name}": float(value) for name, value in self._collected().items()}
        return {}

    def stop(self) -> None:
        """Sample no more."""
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        self._collect()
        with self._lock:
            self._collected()  # the first use of the processor covers no time
        while not self._stopped.wait(self._monitor.sampling_interval):
            self._collect()

    def _collect(self) -> None:
        with self._lock, suppress(Exception):
            self._monitor.collect_metrics()

    def _collected(self) -> dict[str, float]:
        """What was sampled, which is forgotten."""
        found: dict[str, float] = self._monitor.aggregate_metrics()
        for monitor in self._monitor.monitors:
            monitor.clear_metrics()
        return found


def wanted() -> bool:
    """Whether system metrics are logged: unless MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING says no."""
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as SWITCH

    return not SWITCH.is_set() or bool(SWITCH.get())
