-- What makes the pipeline exactly once: the rows of a batch and this position move in one transaction, and the position only moves
-- from where the writer thinks it is. A repeated batch, or a consumer that lost its partition and does not know it yet, updates no
-- row here and rolls back.
CREATE TABLE market_data_oltp.kafka_offsets (
    cluster_id  text COLLATE "C" NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    partition   integer          NOT NULL,
    next_offset bigint           NOT NULL CHECK (next_offset >= 0),
    updated_at  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic, partition)
) WITH (fillfactor = 20); -- every batch updates these rows in place

COMMENT ON TABLE market_data_oltp.kafka_offsets IS 'Up to where each Kafka partition is stored. The truth about progress; the offsets committed in Kafka are for lag displays only. Do not edit while a consumer runs.';
COMMENT ON COLUMN market_data_oltp.kafka_offsets.cluster_id IS 'Kafka cluster that the offset belongs to; a new cluster starts from its beginning.';
COMMENT ON COLUMN market_data_oltp.kafka_offsets.topic IS 'Kafka topic.';
COMMENT ON COLUMN market_data_oltp.kafka_offsets.partition IS 'Kafka partition.';
COMMENT ON COLUMN market_data_oltp.kafka_offsets.next_offset IS 'The next offset to read: every record before it is stored or a dead letter.';
COMMENT ON COLUMN market_data_oltp.kafka_offsets.updated_at IS 'When it last moved.';
