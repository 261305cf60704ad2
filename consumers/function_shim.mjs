// The shim that is deployed with a user's function of Node's: it records each invocation where that outlives the function.
//
// It does as function_shim.py does for Python, and promises the same: what it was invoked with is in the run's table
// (`GAMEDAY_TABLE`) before the user's handler (`GAMEDAY_HANDLER`) sees it, and what that answered before the answer is
// given; an invocation fails of which either cannot be written; times are of the run's clock, which is the machine's own
// that only goes forward. It needs nothing but Node, and goes to the emulator that runs it (`AWS_ENDPOINT_URL`), whose
// DynamoDB asks for no signatures. What an answer means is told by who reads it: gameday/run/functions.py.
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'

const TIMEOUT_MS = 5000
// What of an answer anybody reads; the rest may be large.
const READ = ['batchItemFailures', 'gameday']
const LONG = 1000
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
const region = process.env.AWS_REGION ?? 'us-east-1'
const scope = `test/20260101/${region}/dynamodb/aws4_request`
const headers = {
  'Content-Type': 'application/x-amz-json-1.0',
  'X-Amz-Target': 'DynamoDB_20120810.PutItem',
  Authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`
}

function put (name, told) {
  const item = { record: { S: name }, told: { S: told } }
  const body = JSON.stringify({ TableName: process.env.GAMEDAY_TABLE, Item: item })
  const url = new URL('/', process.env.AWS_ENDPOINT_URL)
  return new Promise((resolve, reject) => {
    const length = { 'Content-Length': Buffer.byteLength(body) }
    const asked = http.request(url, { method: 'POST', agent, timeout: TIMEOUT_MS, headers: { ...headers, ...length } })
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', reject)
    asked.on('response', (response) => {
      let said = ''
      response.setEncoding('utf8')
      response.on('data', (part) => { said += part })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`this invocation cannot be recorded: ${said.slice(0, 200)}`))
      })
    })
    asked.end(body)
  })
}

// One execution environment: a history of its own, whose entries are numbered.
const environment = randomUUID().replaceAll('-', '').slice(0, 12)
const [epoch, monotonic] = process.env.GAMEDAY_CLOCK.split(':').map(BigInt)
let entries = 0
let invocations = 0

// When that was, by the run's clock: nanoseconds, which are too many for a number of JavaScript's.
async function write (told, began) {
  const at = process.hrtime.bigint() - monotonic + epoch
  entries += 1
  const times = began === undefined ? `"at":${at}` : `"at":${at},"began":${began}`
  await put(`${environment}:${String(entries).padStart(8, '0')}`, `{${times},${JSON.stringify(told).slice(1)}`)
  return at
}

async function load () {
  const named = process.env.GAMEDAY_HANDLER
  const dot = named.lastIndexOf('.')
  for (const kind of ['.mjs', '.js', '.cjs']) {
    const place = new URL(`./${named.slice(0, dot)}${kind}`, import.meta.url)
    if (fs.existsSync(place)) {
      const loaded = await import(place.href)
      const name = named.slice(dot + 1)
      const found = loaded[name] ?? loaded.default?.[name]
      if (typeof found === 'function') return found
      throw new TypeError(`${place.pathname} exports no function ${name}`)
    }
  }
  throw new Error(`there is no file of ${named}`)
}

function call (asked, event, context) {
  return new Promise((resolve, reject) => {
    const told = asked(event, context, (error, result) => error ? reject(error) : resolve(result))
    // One that takes a callback answers by it alone.
    if (asked.length < 3 || told !== undefined) Promise.resolve(told).then(resolve, reject)
  })
}

function toldOf (record) {
  const attributes = record.attributes ?? {}
  return {
    identifier: record.messageId ?? null,
    id: idOf(record.body),
    receives: attributes.ApproximateReceiveCount ?? null,
    sent_ms: attributes.SentTimestamp ?? null,
    group: attributes.MessageGroupId ?? null,
    sequence: attributes.SequenceNumber ?? null
  }
}

// Of an order of gameday's own; what a topic put around it is taken off.
function idOf (body) {
  try {
    let told = JSON.parse(body)
    if ('Message' in told && !('detail' in told)) told = JSON.parse(told.Message)
    const id = told.detail.metadata.id
    return id === undefined ? null : String(id)
  } catch {
    return null
  }
}

function short (answer) {
  if (answer === undefined || answer === null) return null
  if (typeof answer === 'object' && !Array.isArray(answer)) {
    return Object.fromEntries(READ.filter((key) => key in answer).map((key) => [key, answer[key]]))
  }
  const text = JSON.stringify(answer)
  return text.length <= LONG ? answer : text.slice(0, LONG)
}

// Once in each environment, before its first invocation. A function that cannot be loaded fails as it would without us.
const users = await load()

export async function handler (event, context) {
  // What an environment is made with before there is anything to do, as with provisioned concurrency.
  if (event.gameday === 'warm') return null
  invocations += 1
  const about = {
    subscription: process.env.GAMEDAY_SUBSCRIPTION,
    batch: `${environment}-${invocations}`,
    request: context?.awsRequestId ?? null,
    records: event.Records.map(toldOf)
  }
  const began = await write({ answered: false, ...about })
  let answer
  try {
    answer = await call(users, event, context)
  } catch (error) {
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    await write({ answered: true, error: why.slice(0, LONG), ...about }, began)
    throw error
  }
  await write({ answered: true, answer: short(answer), ...about }, began)
  return answer
}
