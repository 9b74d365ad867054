/** Somebody tells, others listen. */
export class Signal<T = void> {
  private readonly listeners = new Set<(value: T) => void>();

  /** Returns what ends it. */
  on(listener: (value: T) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(value: T): void {
    for (const listener of this.listeners) listener(value);
  }
}
