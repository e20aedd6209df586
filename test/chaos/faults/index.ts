/** All faults, in the order in which they are done. */
import type { Fault } from "../fault.ts";
import { killBackend } from "./kill-backend.ts";
import { killSupervisor } from "./kill-supervisor.ts";
import { killWorker } from "./kill-worker.ts";
import { reload } from "./reload.ts";
import { stopBackend, stopSupervisor, stopWorker } from "./stop.ts";
import { upgrade } from "./upgrade.ts";

export const FAULTS: readonly Fault[] = [killWorker, killBackend, killSupervisor, stopWorker, stopBackend, stopSupervisor, reload, upgrade];
