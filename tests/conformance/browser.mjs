// What phoenix.js expects of a browser, for node: import it before phoenix.
import { createRequire } from 'node:module';

globalThis.window = globalThis;
globalThis.self = globalThis;
globalThis.addEventListener ||= () => {};

const WS = createRequire(import.meta.url)('ws');

export class WebSocketTransport extends WS {
  constructor(url, protocols, options) {
    super(url, protocols, options);
    this.binaryType = 'arraybuffer';
  }
}

// Enough of it for long polling, on top of fetch.
globalThis.XMLHttpRequest = class {
  open(method, url) {
    Object.assign(this, { method, url, headers: {} });
  }

  setRequestHeader(name, value) {
    this.headers[name] = value;
  }

  abort() {
    this.aborted = true;
    this.controller?.abort();
  }

  send(body) {
    this.controller = new AbortController();
    let timer;
    if (this.timeout)
      timer = setTimeout(() => {
        this.controller.abort();
        this.ontimeout?.();
      }, this.timeout);
    fetch(this.url, {
      method: this.method, body: this.method === 'GET' ? undefined : body, headers: this.headers,
      signal: this.controller.signal,
    }).then(async answer => {
      this.responseText = await answer.text();
      this.status = answer.status;
      clearTimeout(timer);
      this.readyState = 4;
      this.onreadystatechange?.();
    }).catch(error => {
      clearTimeout(timer);
      if (!this.aborted) this.onerror?.(error);
    });
  }
};
