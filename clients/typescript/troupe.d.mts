// A client of Troupe's HTTP API, and a worker, with nothing but what Node 18 has. docs/work.md says
// what a worker may rely on.

export type Json = null | boolean | number | string | Json[] | {[key: string]: Json};

export type State = "pending" | "scheduled" | "available" | "running" | "retryable" | "completed" | "cancelled"
  | "discarded";

export interface Attempt {
  attempt: number;
  outcome: string;
  node: string | null;
  result?: Json;
  error?: string | null;
  [more: string]: unknown;
}

export interface Job {
  id: string;
  queue: string;
  kind: string;
  priority: number;
  state: State;
  args: Json;
  attempt: number;
  max_attempts: number;
  timeout_ms: number | null;
  tags: string[];
  limit_key: string | null;
  run_at: string;
  created_at: string;
  attempts?: Attempt[];
  [more: string]: unknown;
}

/** What may be said of a job besides its kind and arguments; see POST /api/v1/jobs. */
export interface JobOptions {
  queue?: string;
  priority?: number;
  max_attempts?: number;
  timeout_ms?: number;
  tags?: string[];
  run_at?: string;
  delay_ms?: number;
  limit_key?: string;
  retry?: {[key: string]: Json};
  unique?: {[key: string]: Json};
}

export interface NewJob extends JobOptions {
  kind: string;
  args?: Json;
}

/** An answer that is a problem (RFC 9457), or none: then `status` is 0 and `code` is "unreachable". */
export class TroupeError extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly errors: {pointer: string; detail: string}[];
}

/** Thrown by a handler: run the same attempt again later. Costs no attempt. */
export class Snooze extends Error {
  constructor(delayMs: number);
  readonly delayMs: number;
}

/** Thrown by a handler: failed for good, whatever attempts are left. */
export class Discard extends Error {
  constructor(message: string);
}

export interface ClientOptions {
  /** Default: the environment's TROUPE_TOKEN. */
  token?: string;
  /** Of one request. Default: 30,000 */
  timeoutMs?: number;
}

export class Client {
  constructor(url?: string, options?: ClientOptions);
  /** Asked again once when there was no answer: with a key, so that there is one job. */
  enqueue(kind: string, args?: Json, options?: JobOptions & {idempotencyKey?: string}): Promise<Job>;
  /** All or none; their ids in order. */
  enqueueMany(jobs: NewJob[], options?: {idempotencyKey?: string}): Promise<string[]>;
  /** The job with its attempts. */
  get(id: string): Promise<Job>;
  cancel(id: string): Promise<Job>;
  /** The job once it has ended for good. */
  wait(id: string, timeoutMs?: number): Promise<Job>;
  request(method: string, path: string, body?: unknown,
          options?: {idempotencyKey?: string; patienceMs?: number; signal?: AbortSignal}): Promise<any>;
}

/** One run of one job, as its handler sees it. */
export interface Run {
  readonly id: string;
  readonly kind: string;
  readonly queue: string;
  readonly args: any;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly tags: string[];
  /** W3C Trace Context of the request that put the job in, if it named one. */
  readonly traceparent: string | null;
  /** Aborted when the run should stop: cancelled, another worker's, or its time is over. */
  readonly signal: AbortSignal;
  /** How far it is; the last word counts. Never waits, never fails. */
  progress(percent: number | null, message?: string): void;
  /** One line of the job's log. Never waits, never fails. */
  log(line: string, level?: "debug" | "info" | "warn" | "error"): void;
}

/** What it gives is the job's result; what it throws is a failed attempt, a Snooze or a Discard. */
export type Handler = (run: Run) => Promise<unknown> | unknown;

export interface WorkerOptions {
  queues: string[];
  handlers: {[kind: string]: Handler};
  /** Runs at once. Default: 4 */
  slots?: number;
  name?: string;
  /** Silent for so long it counts as dead. Default: 15,000 */
  leaseMs?: number;
  /** Runs have so long to end when the worker stops; then they are given back. Default: 30,000 */
  graceMs?: number;
  onError?: (text: string) => void;
}

export class Worker {
  constructor(client: Client, options: WorkerOptions);
  /** Works until stop(), or with `signals` (the default) until SIGTERM or SIGINT. */
  run(options?: {signals?: boolean}): Promise<void>;
  /** Takes no more jobs; run() ends when those it has have ended, or after the grace. */
  stop(): void;
}
