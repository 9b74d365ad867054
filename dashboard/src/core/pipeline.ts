/** The numbers of all services over the last minutes, and what they say about each hop. Pure. */

export type Status = 'ok' | 'degraded' | 'down';

export interface Part {
  readonly name: string;
  readonly status: Status;
  readonly since: string | null;
  readonly detail: string | null;
}

export interface Service {
  readonly name: string;
  readonly status: Status;
  readonly version: string | null;
  readonly detail: string | null;
  readonly parts: readonly Part[];
  /** `name{labels}` → value. */
  readonly metrics: ReadonlyMap<string, number>;
}

/** One look at everything. */
export interface Sample {
  /** When, Unix milliseconds by the gateway's clock. */
  readonly time: number;
  readonly services: readonly Service[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const text = (value: unknown) => (typeof value === 'string' ? value : null);

function status(value: unknown): Status {
  return value === 'ok' || value === 'degraded' ? value : 'down';
}

/** Reads the gateway's `/api/pipeline`; `null` where it is something else. */
export function readSample(answer: unknown): Sample | null {
  if (!isObject(answer) || typeof answer['time'] !== 'number' || !isObject(answer['services'])) return null;
  const services = Object.entries(answer['services']).map(([name, service]): Service => {
    const health = isObject(service) && isObject(service['health']) ? service['health'] : {};
    const numbers = isObject(service) && isObject(service['metrics']) ? service['metrics'] : {};
    const parts = isObject(health['parts']) ? Object.entries(health['parts']) : [];
    return {
      name,
      status: status(health['status']),
      version: text(health['version']),
      detail: text(health['detail']),
      parts: parts.map(([part, state]) => ({
        name: part,
        status: status(isObject(state) ? state['status'] : null),
        since: isObject(state) ? text(state['since']) : null,
        detail: isObject(state) ? text(state['detail']) : null,
      })),
      metrics: new Map(Object.entries(numbers).filter((entry): entry is [string, number] => typeof entry[1] === 'number')),
    };
  });
  return { time: answer['time'], services };
}

/** What a number on the page is made of. */
export interface Measure {
  readonly service: string;
  readonly metric: string;
  /** `rate`: a counter's growth per second. `value`: a gauge. `total`: a counter since its service started. */
  readonly as: 'rate' | 'value' | 'total';
  /** Only samples with one of these labels, e.g. `reason="stalled"`. */
  readonly labels?: readonly string[];
}

/**
 * A metric over all its label sets; `null` where the service does not report it. A counter appears with its first event: until then a
 * service that reports anything has counted none.
 */
export function sum(service: Service, metric: string, labels?: readonly string[]): number | null {
  let total: number | null = metric.endsWith('_total') && service.metrics.size > 0 ? 0 : null;
  for (const [key, value] of service.metrics) {
    const brace = key.indexOf('{');
    const name = brace < 0 ? key : key.slice(0, brace);
    if (name !== metric || (labels !== undefined && !labels.some((label) => key.includes(label)))) continue;
    total = (total ?? 0) + value;
  }
  return total;
}

/** The samples of the last minutes. */
export class PipelineLog {
  private readonly samples: Sample[] = [];

  constructor(private readonly keep = 150) {}

  add(sample: Sample): void {
    const last = this.samples[this.samples.length - 1];
    // Two pages ask the same gateway: the answer may be one that was seen already.
    if (last !== undefined && sample.time <= last.time) return;
    this.samples.push(sample);
    if (this.samples.length > this.keep) this.samples.shift();
  }

  get newest(): Sample | null {
    return this.samples[this.samples.length - 1] ?? null;
  }

  /** When the samples of {@link series} of a measure were taken, Unix milliseconds. */
  times(measure: Pick<Measure, 'as'>): number[] {
    const times = this.samples.map((sample) => sample.time);
    return measure.as === 'rate' ? times.slice(1) : times;
  }

  /** A measure over time, oldest first; `null` where it was not reported. */
  series(measure: Measure): (number | null)[] {
    const values = this.samples.map((sample) => {
      const service = sample.services.find((one) => one.name === measure.service);
      return service === undefined ? null : sum(service, measure.metric, measure.labels);
    });
    if (measure.as !== 'rate') return values;
    return values.slice(1).map((value, index) => {
      const before = values[index];
      const seconds = ((this.samples[index + 1]?.time ?? 0) - (this.samples[index]?.time ?? 0)) / 1_000;
      if (value === null || before === null || before === undefined || seconds <= 0) return null;
      // A counter that shrank belongs to a service that was started again: it counts from zero.
      return (value >= before ? value - before : value) / seconds;
    });
  }

  /** The newest value of a measure; `null` for not reported. */
  value(measure: Measure): number | null {
    const series = this.series(measure);
    return series[series.length - 1] ?? null;
  }
}
