"""What this machine is called."""

import platform


def processor_name() -> str:
    """The processor's model, such as "AMD EPYC", as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
