'use strict'
// A function of Node's as a handler process: `node node_handler.js FILE FUNCTION`, in the directory of its code.
//
// It speaks the line protocol of docs/handlers.md for an unchanged Lambda function, `exports.handler` or `export const
// handler`: (event, context), a promise or a callback. It needs nothing but Node. What is printed goes to standard
// error, and standard input is the protocol's alone: the function must not read it.
const path = require('node:path')
const fs = require('node:fs')
const readline = require('node:readline')
const { pathToFileURL } = require('node:url')

const [, , file, name] = process.argv
const say = (line) => fs.writeSync(1, `${JSON.stringify(line)}\n`)
process.stdout.write = (...printed) => process.stderr.write(...printed)

async function load () {
  for (const kind of ['.mjs', '.js', '.cjs']) {
    const place = path.resolve(`${file}${kind}`)
    if (fs.existsSync(place)) {
      const loaded = await import(pathToFileURL(place))
      const found = loaded[name] ?? loaded.default?.[name]
      if (typeof found === 'function') return found
      throw new TypeError(`${place} exports no function ${name}`)
    }
  }
  throw new Error(`there is no file ${file}.js, ${file}.mjs or ${file}.cjs`)
}

function contextOf (request, timeoutMs) {
  const until = Date.now() + timeoutMs
  return {
    functionName: name,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION ?? 'us-east-1'}:000000000000:function:${name}`,
    memoryLimitInMB: '128',
    awsRequestId: `${process.env.GAMEDAY_CONSUMER ?? 'handler'}-${process.pid}-${request}`,
    logGroupName: `/aws/lambda/${name}`,
    logStreamName: String(process.pid),
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => Math.max(0, until - Date.now())
  }
}

function call (handler, asked) {
  const context = contextOf(asked.request, asked.timeout_s * 1000)
  return new Promise((resolve, reject) => {
    const told = handler(asked.event, context, (error, result) => error ? reject(error) : resolve(result))
    // One that takes a callback answers by it alone.
    if (handler.length < 3 || told !== undefined) Promise.resolve(told).then(resolve, reject)
  })
}

async function main () {
  const handler = await load()
  say({ ready: true })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line)
    let answer
    try {
      answer = { request: asked.request, outcome: 'ok', result: (await call(handler, asked)) ?? null }
    } catch (error) {
      console.error(error)
      answer = { request: asked.request, outcome: 'failed', error: String(error) }
    }
    say(answer)
  }
  process.exit(0)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
