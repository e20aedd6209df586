/** All faults, in the order in which they are done. */
import type { Fault } from "../fault.ts";
import { descriptors } from "./descriptors.ts";
import { fullDisk } from "./full-disk.ts";
import { hangBackend } from "./hang-backend.ts";
import { killBackend } from "./kill-backend.ts";
import { killSupervisor } from "./kill-supervisor.ts";
import { killWorker } from "./kill-worker.ts";
import { cutBackend, holeBackend, slowBackend } from "./network-backend.ts";
import { cutClients, slowClients } from "./network-clients.ts";
import { reload } from "./reload.ts";
import { stopBackend, stopSupervisor, stopWorker } from "./stop.ts";
import { upgrade } from "./upgrade.ts";

export const FAULTS: readonly Fault[] = [killWorker, killBackend, hangBackend, killSupervisor, stopWorker, stopBackend, stopSupervisor, reload, upgrade, fullDisk, descriptors, cutBackend, slowBackend, holeBackend, cutClients, slowClients];
