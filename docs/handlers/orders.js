// The example of docs/handlers.md in Node: `node orders.js`, for plain messages and for events of a queue.
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')

function placeOrder(order) {
  if (order.detail.metadata.poison) throw new Error('nobody can do this order')
  fs.appendFileSync(path.join(process.env.GAMEDAY_EFFECTS, 'orders.txt'), `${order.detail.orderId}\n`)
}

function handleBatch(event) {
  const failed = []
  for (const record of event.Records) {
    try {
      placeOrder(JSON.parse(record.body))
    } catch (error) {
      console.error(`${record.messageId}: ${error.message}`)
      failed.push({ itemIdentifier: record.messageId })
    }
  }
  return { batchItemFailures: failed }
}

async function main() {
  console.log(JSON.stringify({ ready: true }))
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { request, message, event } = JSON.parse(line)
    try {
      const result = event ? await handleBatch(event) : await placeOrder(JSON.parse(message.body))
      console.log(JSON.stringify({ request, outcome: 'ok', result }))
    } catch (error) {
      console.log(JSON.stringify({ request, outcome: 'failed', error: String(error) }))
    }
  }
}

main()
