"""Messages, conversations, and who may read them."""

from __future__ import annotations

import msgspec

from relay_core.messages import Credential, DeliveryState, MessageId, Sender
from relay_hub.store import Reads, Store, Transaction
from relay_hub.testing.samples import NOW, A, B, a_message, an_agent, put, stored


class MessageCases:
    """Messages, conversations, and who may read them."""

    async def test_a_message_comes_back_as_it_was_stored(self, store: Store) -> None:
        message_id = await store.write(lambda tx: tx.add_message(a_message()))

        found = await store.read(lambda reads: reads.message(message_id))

        wanted = a_message(id=message_id, conversation_id=message_id)
        assert msgspec.json.encode(found) == msgspec.json.encode(wanted)

    async def test_message_ids_grow(self, store: Store) -> None:
        ids = [await store.write(lambda tx: tx.add_message(a_message())) for _ in range(3)]

        assert ids == sorted(set(ids))
        assert await store.read(lambda reads: reads.latest_message_id()) == ids[-1]

    async def test_a_reader_gets_what_is_for_it_and_not_for_others(self, store: Store) -> None:
        async def work(tx: Transaction) -> tuple[MessageId, MessageId]:
            await tx.put_agent(an_agent(A))
            await tx.put_agent(an_agent(B))
            (first,) = await stored(tx, a_message(body="1"), A)
            await stored(tx, a_message(body="2"), B)
            (claimed,) = await stored(tx, a_message(body="3"), A)
            await put(tx, claimed, state=DeliveryState.SKIPPED, reason="claimed_by_other")
            (last,) = await stored(tx, a_message(body="4"), A)
            return first.message_id, last.message_id

        first, last = await store.write(work)

        async def bodies(reads: Reads, since: int, most: int) -> list[str]:
            return [each.body for each in await reads.messages_for(A, MessageId(since), most)]

        assert await store.read(lambda reads: bodies(reads, 0, 10)) == ["1", "4"]
        assert await store.read(lambda reads: bodies(reads, first, 10)) == ["4"]
        assert await store.read(lambda reads: bodies(reads, 0, 1)) == ["1"]

        async def newest(reads: Reads, before: int, most: int) -> list[str]:
            return [each.body for each in await reads.messages_before(A, MessageId(before), most)]

        assert await store.read(lambda reads: newest(reads, last + 1, 10)) == ["1", "4"]
        assert await store.read(lambda reads: newest(reads, last + 1, 1)) == ["4"]
        assert await store.read(lambda reads: newest(reads, last, 1)) == ["1"]

    async def test_traffic_is_counted_for_agents_own_tokens_only(self, store: Store) -> None:
        async def work(tx: Transaction) -> MessageId:
            root = await tx.add_message(a_message(created_at=NOW - 10))
            for at in (NOW, NOW + 1):
                await tx.add_message(a_message(created_at=at, conversation_id=root))
            user = Sender(id=B, credential=Credential.USER)
            await tx.add_message(a_message(sender=user, conversation_id=root))
            return root

        root = await store.write(work)
        sent = await store.read(lambda reads: reads.sent_since(B, NOW - 1))
        said = await store.read(lambda reads: reads.said_since(root, NOW))

        assert (sent.count, sent.first_ms) == (2, NOW)
        assert (said.count, said.first_ms) == (1, NOW + 1)

    async def test_a_conversation_comes_a_page_at_a_time(self, store: Store) -> None:
        async def work(tx: Transaction) -> list[MessageId]:
            root = await tx.add_message(a_message())
            fields = {"conversation_id": root}
            return [root, *[await tx.add_message(a_message(**fields)) for _ in range(3)]]

        ids = await store.write(work)

        async def page(reads: Reads, since: int, most: int) -> list[MessageId]:
            found = await reads.conversation(ids[0], MessageId(since), most)
            return [each.id for each in found]

        assert await store.read(lambda reads: page(reads, 0, 2)) == ids[:2]
        assert await store.read(lambda reads: page(reads, ids[1], 9)) == ids[2:]

    async def test_the_first_reply_of_each_recipient_is_kept(self, store: Store) -> None:
        async def work(tx: Transaction) -> tuple[list[MessageId], list[bool]]:
            await tx.put_agent(an_agent())
            await tx.put_agent(an_agent(B))
            ids = [await tx.add_message(a_message()) for _ in range(4)]
            request, *replies = ids
            added = [
                await tx.add_reply(request, agent, reply)
                for agent, reply in zip((A, A, B), replies, strict=True)
            ]
            return ids, added

        (request, first, _, other), added = await store.write(work)

        assert added == [True, False, True]
        replies = await store.read(lambda reads: reads.replies_to(request))
        assert dict(replies) == {A: first, B: other}
