import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Posts a body of so many bytes with Java's own client as it is by default, and prints status and answer. */
public class Rerank {
    public static void main(String[] arguments) throws Exception {
        String body = arguments[1].startsWith("{") ? arguments[1] : "x".repeat(Integer.parseInt(arguments[1]));
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
    }
}
