// Many phoenix.js clients in one process, each joined to a channel, for the tests of deploys:
//   node herd.mjs URL COUNT FIRST [longpoll]
// Client number i comes from an address of its own, 127.1.x.y, and joins room:i, with the delays that
// phoenix.js has when nobody changes them. Answers a line of JSON to each line on stdin: `joined`
// how many are, `ping` how many get an answer to a push, `report` what happened to them.
import { createRequire } from 'node:module';
import readline from 'node:readline';
import { WebSocketTransport } from '../conformance/browser.mjs';

const { Socket, LongPoll } = createRequire(
  new URL('../conformance/browser.mjs', import.meta.url))('phoenix');
const [url, count, first, polls] = process.argv.slice(2);
console.log = () => {};   // phoenix.js writes when a poll meets a 503, and stdout is ours

class Client {
  constructor(number) {
    this.outages = [];   // from the end of a connection to being joined again
    this.tries = 0;      // connections that were tried
    this.codes = [];
    const client = this;
    const localAddress = `127.1.${number >> 8}.${number & 255}`;
    const transport = polls ? LongPoll : class extends WebSocketTransport {
      constructor(to, protocols) {
        super(to, protocols, { localAddress });
        ++client.tries;
      }
    };
    this.socket = new Socket(url, { transport });
    this.socket.onClose(event => this.away(event));
    this.channel = this.socket.channel(`room:${number}`, {});
    this.channel.join().receive('ok', () => this.back());
    this.socket.connect();
  }

  away(event) {
    this.codes.push(event?.code ?? 0);
    this.since ??= performance.now();
  }

  back() {
    if (this.since !== undefined) this.outages.push(Math.round(performance.now() - this.since));
    this.since = undefined;
  }

  get joined() {
    return this.since === undefined && this.channel.state === 'joined';
  }

  ping() {
    return new Promise(resolve => {
      const push = this.channel.push('ping', { still: 'there' }, 10000);
      push.receive('ok', () => resolve(1)).receive('error', () => resolve(0));
      push.receive('timeout', () => resolve(0));
    });
  }
}

const clients = [];
const commands = {
  joined: () => clients.filter(client => client.joined).length,
  ping: async () => (await Promise.all(clients.map(client => client.ping()))).reduce((a, b) => a + b),
  report: () => ({
    outages: clients.flatMap(client => client.outages),
    codes: clients.flatMap(client => client.codes),
    tries: clients.reduce((sum, client) => sum + client.tries, 0),
  }),
};

// They come one after the other, as a herd is not what is tested here.
async function arrive() {
  for (let i = 0; i < +count; ++i) {
    clients.push(new Client(+first + i));
    if (i % 10 === 9) await new Promise(resolve => setTimeout(resolve, 10));
  }
}

readline.createInterface({ input: process.stdin })
  .on('line', async line =>
    process.stdout.write(JSON.stringify(await commands[line]()) + '\n'))
  .on('close', () => process.exit());
await arrive();
