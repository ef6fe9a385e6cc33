/** A place in a queue: what `push` returns and `remove` takes. */
export interface QueueEntry<T> {
  readonly item: T;
}

interface Node<T> extends QueueEntry<T> {
  previous: Node<T> | undefined;
  next: Node<T> | undefined;
  queue: Queue<T> | undefined;
}

/** First in, first out; every operation takes constant time, removal from the middle too. */
export class Queue<T> {
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  peek(): T | undefined {
    return this.#first?.item;
  }

  push(item: T): QueueEntry<T> {
    const node: Node<T> = { item, previous: this.#last, next: undefined, queue: this };
    if (this.#last) this.#last.next = node;
    else this.#first = node;
    this.#last = node;
    this.#size++;
    return node;
  }

  shift(): T | undefined {
    const first = this.#first;
    if (first) this.#unlink(first);
    return first?.item;
  }

  /** False when the entry has left the queue before. */
  remove(entry: QueueEntry<T>): boolean {
    const node = entry as Node<T>;
    if (node.queue !== this) return false;
    this.#unlink(node);
    return true;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let node = this.#first; node; node = node.next) yield node.item;
  }

  #unlink(node: Node<T>): void {
    if (node.previous) node.previous.next = node.next;
    else this.#first = node.next;
    if (node.next) node.next.previous = node.previous;
    else this.#last = node.previous;
    node.previous = undefined;
    node.next = undefined;
    node.queue = undefined;
    this.#size--;
  }
}
