"""kafka_consumer.py BROKERS TOPIC [CAFILE USER PASSWORD]: all that is in the topic now, a line of JSON for each record:
{"partition", "offset", "key", "type", "event"}. Shows how a consumer in Python (aiokafka) reads the audit; one that wants
each record once keeps the ids it has seen."""
import asyncio
import json
import ssl
import sys

from aiokafka import AIOKafkaConsumer


async def read(brokers, topic, cafile=None, user=None, password=None):
    options = {'bootstrap_servers': brokers, 'enable_auto_commit': False, 'auto_offset_reset': 'earliest'}
    if user:
        options.update(security_protocol='SASL_SSL', sasl_mechanism='PLAIN', sasl_plain_username=user,
                       sasl_plain_password=password, ssl_context=ssl.create_default_context(cafile=cafile))
    consumer = AIOKafkaConsumer(topic, **options)           # without a group: all partitions
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for message in (await consumer.getmany(partition, timeout_ms=1000)).get(partition, ()):
                    kind = dict(message.headers).get('content-type', b'').decode()
                    print(json.dumps({'partition': message.partition, 'offset': message.offset, 'key': message.key.decode(),
                                      'type': kind, 'event': json.loads(message.value)}))
    finally:
        await consumer.stop()


asyncio.run(read(*sys.argv[1:]))
