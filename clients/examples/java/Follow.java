import cachesvc.v1.LogCacheGrpc;
import cachesvc.v1.LogCacheOuterClass.Batch;
import cachesvc.v1.LogCacheOuterClass.CommitRequest;
import cachesvc.v1.LogCacheOuterClass.Encoding;
import cachesvc.v1.LogCacheOuterClass.Mode;
import cachesvc.v1.LogCacheOuterClass.Position;
import cachesvc.v1.LogCacheOuterClass.Record;
import cachesvc.v1.LogCacheOuterClass.SubscribeRequest;
import cachesvc.v1.LogCacheOuterClass.SubscribeResponse;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Prints the records of a topic and commits what was printed: Follow HOST:PORT TOPIC SUBSCRIPTION.
 *
 * <p>Goes on after the last commit, also when the service has restarted or the connection was lost.
 */
public final class Follow {
    private static final long RETRY_FIRST_MS = 100;
    private static final long RETRY_MAX_MS = 10_000;
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final LogCacheGrpc.LogCacheBlockingStub service;
    private final String topic;
    private final String subscription;
    private long delayMs = RETRY_FIRST_MS;

    private Follow(ManagedChannel channel, String topic, String subscription) {
        this.service = LogCacheGrpc.newBlockingStub(channel);
        this.topic = topic;
        this.subscription = subscription;
    }

    public static void main(String[] args) throws InterruptedException {
        String target = args.length > 0 ? args[0] : "127.0.0.1:7070";
        String topic = args.length > 1 ? args[1] : "orders";
        String subscription = args.length > 2 ? args[2] : "example-java";
        ManagedChannel channel = NettyChannelBuilder.forTarget(target)
                .usePlaintext()
                .maxInboundMessageSize(Integer.MAX_VALUE) // a single record may be larger than 4 MiB
                .build();
        new Follow(channel, topic, subscription).run();
        channel.shutdownNow();
    }

    private void run() throws InterruptedException {
        while (true) {
            try {
                follow();
                return;
            } catch (StatusRuntimeException error) {
                Status status = error.getStatus();
                System.err.printf("%s %s: %s%n", status.getCode(), reasonOf(error), status.getDescription());
                if (status.getCode() != Status.Code.UNAVAILABLE) {
                    System.exit(1); // asking again would not help
                }
            }
            Thread.sleep(ThreadLocalRandom.current().nextLong(delayMs));
            delayMs = Math.min(2 * delayMs, RETRY_MAX_MS);
        }
    }

    /** Reads until the stream ends. */
    private void follow() {
        SubscribeRequest request = SubscribeRequest.newBuilder()
                .setSubscription(subscription)
                .addTopics(topic)
                .setMode(Mode.FULL_AND_INCREMENTAL)
                .setEncoding(Encoding.RECORDS)
                .build();
        long epoch = 0;
        Iterator<SubscribeResponse> events = service.subscribe(request);
        while (events.hasNext()) {
            SubscribeResponse event = events.next();
            delayMs = RETRY_FIRST_MS;
            if (event.hasStarted()) {
                epoch = event.getStarted().getEpoch();
            } else if (event.hasBatch()) {
                print(event.getBatch());
                commit(epoch, event.getBatch());
            }
        }
    }

    private static void print(Batch batch) {
        for (Record record : batch.getRecordsList()) {
            String value = record.hasValue() ? record.getValue().toStringUtf8() : "(tombstone)";
            OUT.printf("%s/%d/%d\t%s%n", batch.getTopic(), batch.getPartition(), record.getOffset(), value);
        }
    }

    private void commit(long epoch, Batch batch) {
        Position position = Position.newBuilder()
                .setTopic(batch.getTopic())
                .setPartition(batch.getPartition())
                .setIncarnation(batch.getIncarnation())
                .setOffset(batch.getNextPosition())
                .build();
        service.withDeadlineAfter(30, TimeUnit.SECONDS).commit(CommitRequest.newBuilder()
                .setSubscription(subscription)
                .setEpoch(epoch)
                .addPositions(position)
                .build());
    }

    /** Why a call was refused, whatever the text of the error. */
    private static String reasonOf(StatusRuntimeException error) {
        com.google.rpc.Status status = StatusProto.fromThrowable(error);
        if (status != null) {
            for (Any detail : status.getDetailsList()) {
                try {
                    if (detail.is(ErrorInfo.class)) {
                        return detail.unpack(ErrorInfo.class).getReason();
                    }
                } catch (InvalidProtocolBufferException damaged) {
                    return "";
                }
            }
        }
        return "";
    }
}
